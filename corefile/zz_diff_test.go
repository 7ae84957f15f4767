package corefile
import ("testing";"os";"math/rand";"path/filepath";"fmt";"net";"net/netip";"strings";"regexp")
func TestZZ(t *testing.T){
 out:=os.Getenv("ZZ_OUT"); if out==""{t.Skip()}
 testEnviron(t)
 env:=Disk()
 env.Interface=func(n string)([]netip.Addr,bool){ if n=="lo"{return []netip.Addr{netip.MustParseAddr("127.0.0.1"),netip.MustParseAddr("::1")},true}; return nil,false}
 _ = net.ParseIP
 var srcs [][]byte
 for _,d:=range []string{"ok","err"}{ fs,_:=filepath.Glob(corpus+"/"+d+"/*.corefile"); for _,f:=range fs{ if strings.Contains(f,"cycle")||(os.Getenv("ZZ_SNIP")!=""&&!strings.Contains(f,"import")&&!strings.Contains(f,"snip")&&!strings.Contains(f,"adblock")&&!strings.Contains(f,"quoted")&&!strings.Contains(f,"braces")){continue}; b,_:=os.ReadFile(f); srcs=append(srcs,b)}}
 rng:=rand.New(rand.NewSource(int64(len(os.Getenv("ZZ_SEED")))+7))
 re:=regexp.MustCompile(`\S+|\s+`)
 var all []string
 for _,s:=range srcs{ for _,w:=range re.FindAllString(string(s),-1){ if strings.TrimSpace(w)!=""{all=append(all,w)}}}
 for i:=0;i<400;i++{
  toks:=re.FindAllString(string(srcs[rng.Intn(len(srcs))]),-1)
  for k:=0;k<1+rng.Intn(3);k++{
   j:=rng.Intn(len(toks))
   switch rng.Intn(4){
   case 0: toks=append(toks[:j:j],toks[j+1:]...)
   case 1: toks[j]=all[rng.Intn(len(all))]
   case 2: toks=append(toks[:j:j],append([]string{toks[j]," ",all[rng.Intn(len(all))]," "},toks[j:]...)...)
   case 3: if strings.TrimSpace(toks[j])==""{ toks[j]=[]string{" ","\n"}[rng.Intn(2)]}
   }
   if len(toks)==0{break}
  }
  text:=strings.Join(toks,"")
  f:=fmt.Sprintf("%s/%03d.corefile",out,i)
  os.WriteFile(f,[]byte(text),0o644)
  _,err:=Parse(f,[]byte(text),env)
  r:="accept"; if err!=nil{r="reject"}
  fmt.Printf("ZZ %s %03d.corefile %v\n",r,i,err)
 }
}
