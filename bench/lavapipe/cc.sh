# cc.sh CI CO W K S CO4 PX STEPS ACT BROADCAST : conv_cpu.comp; ENVV=25 uses image variant
S=${SRC:-../../shaders}; ci=$1; co=$2; w=$3; kk=$4; st=$5; CO4=$6; PX=$7; ST=$8; ACT=$9; BC=${10}; RES=${RES:-0}
if [ "$BC" = 1 ]; then V=IMAGE; k=iiis; else V=TEXEL; k=ttts; fi
[ -n "$FV" ] && { V=$FV; [ $V = IMAGE ] && k=iiis || k=ttts; }
f=/tmp/cc_${V}_$(basename $(dirname $S)).spv
glslangValidator -V --target-env vulkan1.2 -g0 -DDEIM_$V=1 -I$S $S/${SH:-conv_cpu}.comp -o $f.$$ >/dev/null && mv $f.$$ $f
P=$((w*w)); iw=$((w*st)); IP=$((iw*iw)); ci4=$(((ci+3)/4)); co4=$((co/4)); pad=$((kk/2)); [ $kk = 2 ] && pad=0
steps=$(( (kk*kk*ci4+ST-1)/ST*ST )); panels=$(( (co4+CO4-1)/CO4 )); pw=0; [ $kk = 1 ] && pw=1
NAME="cc $ci->$co@$w k$kk s$st" BUFS="$((ci4*4*IP)) $((panels*(CO4*4+steps*16*CO4))) $((co*P)) $((co*P))" SPEC="${SG:-8} ${SG:-8} 0 0 $CO4 $PX $ST $pw $ACT $BC" \
PUSH="0 $IP $((IP*ci4)) 0 $P $((P*co4)) 0 $P $((P*co4)) $iw $iw $w $P $ci4 $co4 $kk $st $pad $pad $RES 0.0 0.0 1.0 0.0" WORK=$((2*ci*co*P*kk*kk)) INNER=${INNER:-1} SUM=${SUM:-} ${RUN:-./kb} ${RUN2:-} $f $k $panels $(( (P+8*PX-1)/(8*PX) )) 1 ${REPS:-7}
