package sqlite

func checkLog(path string) error { return nil }
