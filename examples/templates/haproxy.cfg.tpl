global
    maxconn 4096

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend www
    bind *:8080
    default_backend www

backend www
    balance roundrobin
{{- range service "www"}}
    server {{.Node}}-{{.ID}} {{.Address}}:{{.Port}} weight {{.Weights.Passing}}
{{- end}}
