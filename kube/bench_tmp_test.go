package kube
import ("testing";"path/filepath";"os";"fmt";"go.yaml.in/yaml/v3")
func TestTmpSteps(t *testing.T){
 fs,_:=filepath.Glob("../testdata/manifest/*")
 for _,f:=range fs { if filepath.Ext(f)==".golden"{continue}
  data,_:=os.ReadFile(f)
  docs,_:=documents(f,data)
  p := manifestParser{reader: reader{file: f}, seen: map[*yaml.Node]bool{}}
  for _,d:=range docs { p.object(d.root,"",8) }
  fmt.Println(filepath.Base(f), len(data), nodesAtMost(data), p.steps, p.steps*8<<20/len(data))
 }
}
