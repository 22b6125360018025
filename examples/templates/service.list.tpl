{{range service .Name -}}
{{.Address}}:{{.Port}}
{{end -}}
