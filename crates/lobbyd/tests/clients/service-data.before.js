// What the slides leave to the reader of service-data.js: the client and the constants.
const consul = require('consul')();
const HOST = '127.0.0.1';
const PORT = Number(process.argv[2]);

// The service itself: it says at which port it is.
require('http').createServer((_, res) => res.end(JSON.stringify({ port: PORT }))).listen(PORT, HOST);

