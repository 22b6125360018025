
// Shows the test what service-www.js knows, and asks as its users would. Without a listener for 'error', as in the
// slides, any failed watch ends this process.
watcher.on('change', () => console.log(`instances ${JSON.stringify(known_data_instances)}`));
setInterval(() => {
  if (known_data_instances.length > 0) {
    getData((err, data) => console.log(err ? `failed ${err}` : `answer from ${data.port}`));
  }
}, 100);
