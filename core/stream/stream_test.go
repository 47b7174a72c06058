package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/encap"
)

// pair returns the two ends of a stream.
func pair(t *testing.T, inTLS bool) (client, server *Conn) {
	t.Helper()
	cfg, err := ServerTLS(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	type accepted struct {
		c   *Conn
		err error
	}
	done := make(chan accepted, 1)
	go func() {
		c, err := Accept(b, cfg, time.Now().Add(5*time.Second))
		done <- accepted{c, err}
	}()
	if client, err = Open(context.Background(), a, inTLS, "vpn.test"); err != nil {
		t.Fatal(err)
	}
	x := <-done
	if x.err != nil {
		t.Fatal(x.err)
	}
	return client, x.c
}

func TestStream(t *testing.T) {
	for _, inTLS := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, server := pair(t, inTLS)
			if client.TLS() != inTLS || server.TLS() != inTLS {
				t.Errorf("TLS %v: %v and %v", inTLS, client.TLS(), server.TLS())
			}
			esp := bytes.Repeat([]byte{1}, 250)
			if dropped, err := client.Send(esp, 100); dropped != 0 || err != nil {
				t.Fatalf("dropped %d, %v", dropped, err)
			}
			if err := client.SendIKE([]byte("a message of IKE")); err != nil {
				t.Fatal(err)
			}
			for _, want := range [][]byte{esp[:100], esp[:100], esp[:50], encap.AppendIKE(nil, []byte("a message of IKE"))} {
				got, _, err := server.Next()
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %x, %v, want %x", got, err, want)
				}
			}
			if err := server.SendIKE([]byte("the last word")); err != nil {
				t.Fatal(err)
			}
			_ = server.Close()
			if got, _, err := client.Next(); err != nil || !bytes.HasSuffix(got, []byte("the last word")) {
				t.Errorf("what was said before the end: %q, %v", got, err)
			}
			if _, _, err := client.Next(); err == nil {
				t.Error("the other end closed, and there is another frame")
			}
			if _, err := server.Send(esp, 0); !errors.Is(err, net.ErrClosed) {
				t.Errorf("send after the end: %v", err)
			}
			if _, _, err := server.Next(); err == nil {
				t.Error("a frame after the end")
			}
			_ = client.Close()
			synctest.Wait()
		})
	}
}

// TestCongestionDrops: a peer that takes nothing costs bounded memory, and ESP is
// dropped rather than kept waiting; IKE still finds room, and in the end the
// connection is given up.
func TestCongestionDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, false)
		packet := make([]byte, 1400)
		sent, dropped := 0, 0
		for range 1000 {
			n, err := client.Send(packet, 0)
			if err != nil {
				t.Fatal(err)
			}
			sent, dropped = sent+1, dropped+n
		}
		if most := queueESP / len(packet); sent-dropped > most || sent-dropped < most-2 {
			t.Errorf("%d of %d are queued, room is for %d", sent-dropped, sent, most)
		}
		if err := client.SendIKE(packet); err != nil {
			t.Errorf("IKE finds no room: %v", err)
		}
		for range 100 {
			_ = client.SendIKE(packet)
		}
		if err := client.SendIKE(packet); err == nil {
			t.Error("IKE has room without end")
		}
		time.Sleep(writeTime + time.Second)
		if _, err := client.Send(packet, 0); err == nil {
			t.Error("a peer that takes nothing is not given up")
		}
		server.end()
		synctest.Wait()
	})
}

// TestAcceptIsBounded: who connects and says nothing, something else, or what is
// right but slowly, is let go.
func TestAcceptIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		say    string
		pause  time.Duration
		within time.Duration
		want   error
	}{
		"silence":        {"", time.Second, 11 * time.Second, nil},
		"another tongue": {"GET / HTTP/1.1\r\n", 0, time.Second, ErrStranger},
		"almost":         {"IKEUDP", 0, time.Second, ErrStranger},
		"slowloris":      {encap.Prefix, 3 * time.Second, 11 * time.Second, nil},
		"slow TLS":       {"\x16\x03\x01\x00\xff\x01\x00\x00\xfb", 2 * time.Second, 11 * time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				said := make(chan struct{})
				go func() {
					defer close(said)
					for i := range len(c.say) {
						time.Sleep(c.pause)
						if _, err := a.Write([]byte(c.say[i : i+1])); err != nil {
							return
						}
					}
				}()
				began := time.Now()
				s, err := Accept(b, &tls.Config{}, began.Add(10*time.Second))
				if err == nil {
					s.end()
					t.Fatal("accepted")
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("took %v: %v", took, err)
				}
				if c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("the connection is open: %v", err)
				}
				a.Close()
				<-said
			})
		})
	}
}

// TestPrefixOnce: only the end that connects sends the prefix, once and first.
func TestPrefixOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c, err := Open(context.Background(), a, false, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SendIKE([]byte("x")); err != nil {
			t.Fatal(err)
		}
		want := encap.AppendFrame([]byte(encap.Prefix), encap.AppendIKE(nil, []byte("x")))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		c.end()
		b.Close()
		synctest.Wait()
	})
}
