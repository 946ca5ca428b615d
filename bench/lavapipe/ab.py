#!/usr/bin/env python3
# ab.py [-e 22,25] [-r rounds] < lines "CI CO W flags|C V KU kind"; prints min us & rate per variant/env
import sys,subprocess,os,re,argparse
ap=argparse.ArgumentParser();ap.add_argument('-e',default='22,25');ap.add_argument('-r',type=int,default=4);ap.add_argument('-n',type=int,default=12);ap.add_argument('-i',type=int,default=1)
a=ap.parse_args()
envs={}
for e in a.e.split(','):
    env=dict(os.environ)
    out=subprocess.run(['bash','-c',f'. ./env{e}.sh; env'],capture_output=True,text=True).stdout
    for l in out.splitlines():
        k,_,v=l.partition('=');
        if k.startswith('VK_') or k=='LD_LIBRARY_PATH': env[k]=v
    envs[e]=env
lines=[l.rstrip('\n') for l in sys.stdin if l.strip() and not l.startswith('#')]
best={}
for r in range(a.r):
    for l in lines:
        for e in envs:
            env=dict(envs[e]);env['REPS']=str(a.n);env['INNER']=str(a.i)
            p=subprocess.run(['bash','-c',l],env=env,capture_output=True,text=True,cwd=os.path.dirname(os.path.abspath(__file__)))
            m=re.search(r'cpu min\s+([\d.]+) med\s+([\d.]+) us.*?core\s+([\d.]+).*pipe (\d+) ms jit (\d+)',p.stdout)
            if not m: print('FAIL',l,p.stdout,p.stderr);continue
            k=(l,e); t=(float(m[1]),float(m[3]),int(m[5]))
            b=best.get(k); 
            best[k]=t if not b else (min(b[0],t[0]),max(b[1],t[1]),max(b[2],t[2]))
for l in lines:
    print('%-70s'%l[-70:], '  '.join('%s: %8.1f us %6.2f G/s jit %4d'%(e,*best[(l,e)]) for e in envs if (l,e) in best),flush=True)
