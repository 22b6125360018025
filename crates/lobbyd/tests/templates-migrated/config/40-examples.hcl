# What consul-template's own examples do; see the README of this folder.
template {
  source      = "in/examples/haproxy.cfg.ctmpl"
  destination = "out/examples/haproxy.cfg"
}

template {
  source      = "in/examples/nginx.conf.ctmpl"
  destination = "out/examples/nginx.conf"
}

template {
  source      = "in/examples/varnish.vcl.ctmpl"
  destination = "out/examples/varnish.vcl"
}

template {
  source      = "in/examples/apache.conf.ctmpl"
  destination = "out/examples/apache.conf"
}

template {
  source      = "in/examples/join.sh.ctmpl"
  destination = "out/examples/join.sh"
}

template {
  source      = "in/examples/all.txt.ctmpl"
  destination = "out/examples/all.txt"
}

template {
  source      = "in/examples/apis.yml.ctmpl"
  destination = "out/examples/apis.yml"
}

template {
  source      = "in/examples/functions.txt.ctmpl"
  destination = "out/examples/functions.txt"
}
