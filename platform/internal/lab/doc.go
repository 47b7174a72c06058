// Package lab is the laboratory of the tests: machines made of network and
// mount namespaces, cables between them, a certificate authority, strongSwan
// and Sallyport instances on them, and instruments (capture, ping, transfer,
// snapshot) that say what happened.
//
//	           wan: bridge br0 198.51.100.0/24, 2001:db8:1::/64
//	           "internet": 203.0.113.10, 2001:db8:99::10 (http)
//	     .1 |        .2 |            .100 |
//	      gw           nat             client
//	10.10.0.1|      .1 | 192.168.77.0/24 | .100
//	     inside         +-----------------+
//	10.10.0.10, fd00:10::10 (http, dns)     client eth0 = direct, eth1 = behind the NAT
//
// Namespaces have no names: each lives on an OS thread of the test, so any
// number of laboratories stand side by side, and when the test process ends,
// even by a panic, the kernel takes them down and kills what runs in them.
package lab
