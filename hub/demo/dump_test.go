package demo
import ("testing";"os";"fmt")
func TestDump(t *testing.T){ opt:=options(t); opt.Out=os.Getenv("DUMP"); opt.Screen=os.Stdout; s:=once(t,opt); fmt.Println(s.Run.Milliseconds)}
