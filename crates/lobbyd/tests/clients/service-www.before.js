// What the slides leave to the reader of service-www.js: the clients.
const consul = require('consul')();
const request = require('request');

