{{with service "db" -}}
{{with index . 0 -}}
DB_HOST={{.Address}}
DB_PORT={{.Port}}
{{end -}}
{{end -}}
LOG_LEVEL={{keyOrDefault "app/log_level" "info"}}
