package draft

import "strings"

// common ranks what guessers try first: passwords that everyone uses, the words
// of this trade, names and days. Spelled as folded returns them.
var common = func() map[string]int {
	m := map[string]int{}
	for i, w := range strings.Fields(commonWords) {
		if _, twice := m[w]; !twice {
			m[w] = i + 1
		}
	}
	return m
}()

const commonWords = `
password passwort motdepasse contrasena secret geheim vpn ipsec ike psk test admin administrator root user guest
letmein welcome willkommen bienvenue changeme default cisco fortinet fortigate juniper sonicwall watchguard sophos
checkpoint paloalto mikrotik pfsense opnsense strongswan libreswan openswan windows server router gateway firewall
company firma office home remote access tunnel network netzwerk internet security sicherheit secure private shared
presharedkey sharedsecret sharedkey preshared key keys login master super hello hallo bonjour hola monkey dragon
football baseball soccer hockey master shadow sunshine princess iloveyou superman batman michael jennifer thomas
daniel andrew joshua jordan george charlie robert matthew ashley jessica amanda nicole michelle maria anna peter
summer winter spring autumn sommer herbst fruehling printemps ete automne hiver january february march april may
june july august september october november december januar februar maerz mai juni juli oktober dezember monday
tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag sonntag
london paris berlin munich muenchen zurich zuerich hamburg vienna wien madrid newyork google apple microsoft amazon
facebook samsung abc123 trustno1 whatever freedom flower starwars computer pokemon hunter ranger buster killer
pepper ginger cookie cheese banana orange purple yellow silver golden diamond matrix phoenix thunder tiger lion
eagle falcon dolphin turtle rabbit example foobar foo bar baz qux lorem ipsum dolor temp temporary backup support
service helpdesk manager demo sample swordfish correct horse battery staple`
