package serving

type charged struct{}
type budget struct{}

func (*budget) forget(*Conn) {}
