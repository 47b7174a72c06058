#!/bin/sh
# Makes the recorded files of this directory anew, with OpenSSL and strongSwan's
# pki, so that certificates and keys of other hands are read here too.
# Nothing in here protects anything. The passphrase is "sallyport".
set -eu
cd "$(dirname "$0")"
days=20000 # strongSwan 5.9 wraps at 2^31 seconds
quiet() { "$@" >/dev/null 2>&1; }

# An RSA authority that signs with RSASSA-PSS, and a gateway below it.
quiet openssl req -x509 -newkey rsa:2048 -nodes -keyout pss-ca.key -out pss-ca.pem -days $days \
	-subj "/C=CH/O=Lab/CN=PSS CA" -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1
# The gateway's key is confined to RSASSA-PSS with SHA-256.
quiet openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256 \
	-pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32 -out pss-key.key
printf 'subjectAltName=DNS:gw.example.com,IP:192.0.2.1\n' >ext
quiet openssl req -new -key pss-key.key -subj "/C=CH/O=Lab/CN=gw" -out req -sha256
quiet openssl x509 -req -in req -CA pss-ca.pem -CAkey pss-ca.key -days $days -extfile ext -out pss-key.pem \
	-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1
# A plain RSA key, signed with RSASSA-PSS.
quiet openssl req -new -newkey rsa:2048 -nodes -keyout rsa.key -subj "/C=CH/O=Lab/CN=gw" -out req
quiet openssl x509 -req -in req -CA pss-ca.pem -CAkey pss-ca.key -days $days -extfile ext -out rsa.pem \
	-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1
# A key of 1024 bits.
quiet openssl req -x509 -newkey rsa:1024 -nodes -keyout rsa1024.key -out rsa1024.pem -days $days -subj "/CN=weak" -addext 'subjectAltName=DNS:gw.example.com'
# A signature over SHA-1.
quiet openssl x509 -req -in req -CA pss-ca.pem -CAkey pss-ca.key -days $days -extfile ext -out sha1.pem -sha1

# One EC key in every wrapping.
openssl ecparam -name prime256v1 -genkey -noout -out ec-sec1.key
openssl pkcs8 -topk8 -nocrypt -in ec-sec1.key -out ec-pkcs8.key
openssl pkcs8 -topk8 -nocrypt -in ec-sec1.key -outform DER -out ec-pkcs8.der
openssl pkcs8 -topk8 -in ec-sec1.key -passout pass:sallyport -v2 aes-256-cbc -v2prf hmacWithSHA256 -out ec-aes256.key
openssl pkcs8 -topk8 -in ec-sec1.key -passout pass:sallyport -v2 aes-128-cbc -v2prf hmacWithSHA1 -outform DER -out ec-aes128.der
openssl pkcs8 -topk8 -in ec-sec1.key -passout pass:sallyport -v2 des3 -out ec-des3.key
openssl pkcs8 -topk8 -in ec-sec1.key -passout pass:sallyport -scrypt -out ec-scrypt.key
openssl pkcs8 -topk8 -in ec-sec1.key -passout pass:sallyport -v1 PBE-SHA1-3DES -out ec-pbes1.key
openssl ec -in ec-sec1.key -aes256 -passout pass:sallyport -out ec-legacy.key 2>/dev/null
openssl rsa -in rsa.key -traditional -out rsa-pkcs1.key 2>/dev/null

# strongSwan's tool: an Ed25519 authority and a gateway with IKE's own usages.
pki --gen --type ed25519 --outform pem >swan-ca.key
pki --self --ca --lifetime $days --in swan-ca.key --type ed25519 --dn "C=CH, O=strongSwan, CN=Swan CA" --outform pem >swan-ca.pem
pki --gen --type ecdsa --size 384 --outform pem >swan-gw.key
pki --issue --lifetime $days --cacert swan-ca.pem --cakey swan-ca.key --type ecdsa --in swan-gw.key \
	--dn "C=CH, O=strongSwan, CN=swan.example.com" --san swan.example.com --san 2001:db8::1 --san gw@example.com \
	--flag serverAuth --flag ikeIntermediate --outform pem >swan-gw.pem

# Signatures of OpenSSL over the file octets, as AUTH payloads carry them.
printf 'the octets of an AUTH payload' >octets
openssl dgst -sha256 -sign rsa.key -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1 -out sig-pss-sha256 octets
openssl dgst -sha512 -sign rsa.key -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1 -out sig-pss-sha512 octets
openssl dgst -sha256 -sign rsa.key -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20 -out sig-pss-salt20 octets
openssl dgst -sha384 -sign rsa.key -out sig-rsa-sha384 octets
openssl dgst -sha1 -sign rsa.key -out sig-rsa-sha1 octets
openssl dgst -sha256 -sign ec-sec1.key -out sig-ecdsa-sha256 octets
rm -f ext req pss-ca.srl
