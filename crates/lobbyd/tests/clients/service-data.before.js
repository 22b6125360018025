// What the slides leave to the reader of service-data.js: the client and the constants.
const consul = require('consul')();
const HOST = '127.0.0.1';
const PORT = Number(process.argv[2]);

// Since version 19, Node keeps connections and takes 5 s of silence on one for a lost request: just when the slides' next
// heartbeat is due, so on a busy machine that is cut. In the version of the slides, each had a connection of its own.
const { Agent } = require('http');
require('http').globalAgent = new Agent({ keepAlive: false });

// The service itself: it says at which port it is.
require('http').createServer((_, res) => res.end(JSON.stringify({ port: PORT }))).listen(PORT, HOST);

