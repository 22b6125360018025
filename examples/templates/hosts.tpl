127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback

{{range nodes -}}
{{.Address}} {{.Node}}
{{end -}}
