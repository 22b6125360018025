let known_data_instances = [];

const watcher = consul.watch({
  method: consul.health.service,
  options: {
    service: 'data',
    passing: true
  }
});

watcher.on('change', data => {
  known_data_instances = [];
  data.forEach(entry => {
    known_data_instances.push(`http://${entry.Service.Address}:${entry.Service.Port}/`);
  });
});

function getData(cb) {
  let url = known_data_instances[Math.floor(Math.random()*known_data_instances.length)];

  request(url, {json:true}, (err, res, data) => {
    if (err) return cb(err);

    cb(null, data);
  });
}
