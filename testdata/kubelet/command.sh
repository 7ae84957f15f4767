#!/bin/sh
exec /usr/bin/kubelet --config=/etc/kubelet.yaml \
  --node-ip=fd00::9 \
  --resolv-conf='' \
  --v=4
