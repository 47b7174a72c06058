package message

// A VendorID payload names an implementation or an extension of it (RFC 7296,
// section 3.12).
type VendorID struct {
	Data []byte
}

// Type returns PayloadVendorID.
func (v *VendorID) Type() PayloadType { return PayloadVendorID }

// AppendTo appends the payload body to b.
func (v *VendorID) AppendTo(b []byte) []byte { return append(b, v.Data...) }

// ParseVendorID parses a payload body, which may hold anything. The result
// aliases b.
func ParseVendorID(b []byte) (VendorID, error) { return VendorID{b}, nil }
