events {}

http {
    upstream www {
    {{- range service "www"}}
        server {{.Address}}:{{.Port}} weight={{.Weights.Passing}};
    {{- else}}
        server 127.0.0.1:9 down;
    {{- end}}
    }

    server {
        listen 8081;
        location / {
            proxy_pass http://www;
        }
    }
}
