package intake

// Forget is what Run does every hour.
func (x *Index) Forget() { x.forget() }
