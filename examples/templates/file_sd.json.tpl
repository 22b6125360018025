[
{{- range $index, $it := service "www|any"}}{{if $index}},{{end}}
  {"targets": [{{printf "%s:%d" .Address .Port | printf "%q"}}], "labels": {"node": {{printf "%q" .Node}}}}
{{- end}}
]
