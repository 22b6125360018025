vcl 4.0;
import directors;

backend web_1_0 {
  .host = "10.0.0.1";
  .port = "8080";
  .probe = { .url = "/v1"; }
}

backend web_2_1 {
  .host = "10.0.0.2";
  .port = "8080";
  .probe = { .url = "/v2"; }
}

sub vcl_init {
  new web = directors.round_robin();
  web.add_backend(web_1_0);
  web.add_backend(web_2_1);
}
