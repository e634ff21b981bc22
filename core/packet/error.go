package packet

// Error says why bytes are not a packet. It ends the connection: with Code in
// a CONNACK or DISCONNECT for MQTT 5, by the bare close for 3.x (4.13.1).
type Error struct {
	Code ReasonCode
	Text string
}

// Error returns the code's name and the text.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Text }

func malformed(text string) *Error     { return &Error{MalformedPacket, text} }
func protocolError(text string) *Error { return &Error{ProtocolError, text} }
