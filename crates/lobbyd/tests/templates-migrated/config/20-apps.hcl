template {
  source      = "in/app.env.ctmpl"
  destination = "out/app.env"
  perms       = "0640"
}

template {
  source      = "in/catalog.json.ctmpl"
  destination = "out/catalog.json"
}

template {
  source      = "in/sites.conf.ctmpl"
  destination = "out/sites.conf"
}

template {
  source      = "in/define.txt.ctmpl"
  destination = "out/define.txt"
}

template {
  source          = "in/settings.py.ctmpl"
  destination     = "out/settings.py"
  left_delimiter  = "[["
  right_delimiter = "]]"
}

template {
  contents = <<EOH
# ${HOME} is for the shell that reads this.
{{ range $i, $s := service "redis" }}{{ if $i }} {{ end }}{{ $s.Address }}:{{ $s.Port }}{{ end }}
EOH
  destination = "out/inline.txt"
}
