#!/bin/bash
# The first process of the laboratory's virtual machine (lab.VM).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
ln -sfn /proc/self/fd /dev/fd
for m in virtio_pci virtio_net dummy esp4 esp6 xfrm_user gcm cbc ctr sha1_generic sha256_generic sha512_generic \
	echainiv seqiv chacha20poly1305 authenc authencesn aesni_intel ghash_clmulni_intel; do
	modprobe -q $m
done
sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
	net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.all.send_redirects=0
ip link set lo up
ip link set eth0 up
ip link set eth1 up
ip addr add 10.99.0.2/24 dev eth1
for n in 10 11 12 13 14 15 16 17 18 19; do ip addr add 198.51.100.$n/24 dev eth0; done
ip addr add 2001:db8:1::10/64 dev eth0 nodad
ip route add default via 198.51.100.254
ip route add default via 2001:db8:1::fe
ip link add inside type dummy
ip link set inside up
ip addr add 10.30.0.10/16 dev inside
ip addr add fd00:30::10/64 dev inside nodad
# Without -t the shell would be ended half a second after the last line of its script.
exec socat -t 600 TCP-LISTEN:7,fork,reuseaddr,bind=10.99.0.2 EXEC:/bin/bash
