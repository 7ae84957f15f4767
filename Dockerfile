# syntax=docker/dockerfile:1
# One static program, from nothing: docker build -t dnsloop .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
ARG TARGETVARIANT
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    go build -trimpath -tags urfave_cli_no_docs -ldflags "-s -w" -o /dnsloop .

FROM scratch
# What tls:// and https:// upstreams are verified against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /dnsloop /dnsloop
# A number, so that runAsNonRoot can be told from it.
USER 65532:65532
ENTRYPOINT ["/dnsloop"]
