'use strict';

// The server that this copy of the app was made for; the panel's download puts its own address here.
const EXAMPLE = 'https://mail.example.com';

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

// What people paste: with or without https://, with the path of the page they were looking at.
const normalise = (z, pasted) => {
  const refuse = (sentence) => {
    throw new z.errors.Error(sentence, 'invalid_base_url', 400);
  };
  const text = String(pasted || '').trim();
  if (!text) refuse(`Enter your server's address, for example ${EXAMPLE}.`);
  let url;
  try {
    url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    refuse(`The server address is not a web address: enter it as in ${EXAMPLE}.`);
  }
  if (url.username || url.password) refuse('Leave user name and password out of the server address.');
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK.has(url.hostname))) {
    refuse('The server address must start with https:// so that your API key travels encrypted.');
  }
  // Below a path of a reverse proxy it stays; the panel's and the API's own paths go.
  const path = url.pathname.replace(/\/(?:admin|login|setup|v1)(?:\/.*)?$/, '').replace(/\/+$/, '');
  return `${url.protocol}//${url.host}${path}`;
};

module.exports = { EXAMPLE, normalise };
