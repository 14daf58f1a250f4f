#!/bin/bash
# Builds kube-apiserver and kube-controller-manager into FOLDER/bin, and lays etcd beside them.
#
#     control_plane.sh FOLDER
#
# Everything comes from Debian bookworm's own packages: the source package `kubernetes` (1.20.2, with all that it
# needs), its Go and its etcd. They are unpacked into FOLDER and never installed, so that this needs no root and
# alters nothing outside FOLDER. What is there already is kept; 3 GB are needed on the way, 0.25 GB stay.
set -euo pipefail

readonly FOLDER=${1:?the folder to build in}
readonly PROCESSES=2
readonly PACKAGES=(etcd-server golang-1.19-go golang-1.19-src)

mkdir -p "$FOLDER/bin"
cd "$FOLDER"
if [ -x bin/kube-apiserver ] && [ -x bin/kube-controller-manager ] && [ -x bin/etcd ]; then exit 0; fi
readonly WORK=$PWD/build

for program in apt-get dpkg-deb tar xz gzip patch; do
  command -v "$program" >/dev/null || {
    echo "$program is missing: this needs Debian bookworm (apt-get install dpkg tar xz-utils gzip patch)" >&2
    exit 1
  }
done

own_apt() { # Lists and caches of our own: the machine's stay as they are. Its mirrors are asked, for sources too.
  mkdir -p "$WORK"/apt/{lists,cache/archives}/partial "$WORK"/apt/parts
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [ -e "$list" ]; then cp "$list" "$WORK/apt/parts"; fi
  done
  sed -i -E -e 's/^(Types: *deb) *$/\1 deb-src/' -e 's/^deb (.*)/&\ndeb-src \1/' "$WORK"/apt/parts/*
  cat >"$WORK/apt/conf" <<END
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$WORK/apt/parts";
Dir::State::Lists "$WORK/apt/lists";
Dir::Cache "$WORK/apt/cache";
APT::Sandbox::User "root";
END
  export APT_CONFIG=$WORK/apt/conf
}

fetch() {
  own_apt
  cd "$WORK"
  apt-get -qq update || true # a mirror without sources is no matter, if another has them
  apt-cache showsrc kubernetes 2>/dev/null | grep '^Version: 1\.20' >/dev/null || {
    echo "apt offers no source package kubernetes 1.20 here: this needs Debian bookworm" >&2
    exit 1
  }
  apt-get -qq download "${PACKAGES[@]}"
  apt-get -qq source --download-only kubernetes
  rm -rf tools source
  for package in *.deb; do dpkg-deb -x "$package" tools; done
  mkdir -p source/src/k8s.io/kubernetes
  tar -xzf kubernetes_*.orig.tar.gz -C source/src/k8s.io/kubernetes --strip-components=1
  tar -xJf kubernetes_*.debian.tar.xz -C source/src/k8s.io/kubernetes
  cd source/src/k8s.io/kubernetes
  while read -r name; do patch -s -p1 <"debian/patches/$name"; done <debian/patches/series
  touch "$WORK/fetched"
}

# The one generated file that the source package leaves out: the API's schema. Its inputs are the packages that ask for
# it, under the names by which they are imported.
generate_openapi() {
  go build -o "$WORK/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  local packages
  packages=$(grep --recursive --dereference-recursive --include='*.go' --files-with-matches \
    '^// +k8s:openapi-gen=' pkg vendor/k8s.io |
    grep -v -e /code-generator/ -e /sample-apiserver/ -e /gengo/ -e /kube-openapi/ |
    xargs -n1 dirname | LC_ALL=C sort -u | sed 's|^|k8s.io/kubernetes/|' | paste -sd,)
  "$WORK/openapi-gen" --logtostderr --output-base "$GOPATH/src" \
    --output-package k8s.io/kubernetes/pkg/generated/openapi --output-file-base zz_generated.openapi \
    --input-dirs "$packages" --report-filename "$WORK/api_rules" \
    --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt
}

build() {
  export GOROOT=$WORK/tools/usr/lib/go-1.19 GOPATH=$WORK/source GOCACHE=$WORK/go-cache
  export PATH=$GOROOT/bin:$PATH GO111MODULE=off CGO_ENABLED=0 GOFLAGS=-p=$PROCESSES GOMAXPROCS=$PROCESSES
  cd "$GOPATH/src/k8s.io/kubernetes"
  [ -s pkg/generated/openapi/zz_generated.openapi.go ] || generate_openapi
  local version=-X=k8s.io/component-base/version
  for program in kube-apiserver kube-controller-manager; do
    go build -ldflags "-s -w $version.gitVersion=v1.20.2 $version.gitMajor=1 $version.gitMinor=20" \
      -o "$WORK/$program" "./cmd/$program"
  done
}

renice -n 10 $$ >/dev/null
[ -e "$WORK/fetched" ] || (fetch)
(build)
cp "$WORK/tools/usr/bin/etcd" bin/
mv "$WORK/kube-apiserver" "$WORK/kube-controller-manager" bin/
rm -rf "$WORK"
