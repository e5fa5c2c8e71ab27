'use strict';

const { normalise } = require('./server');

const LONGEST = 250; // Zapier cuts a longer message
const WAIT = 60; // seconds, when the server doesn't say

const addServerAndKey = (request, z, bundle) => {
  if (request.url.startsWith('/')) {
    request.url = normalise(z, bundle.authData.base_url) + request.url;
    request.headers.Authorization = `Bearer ${String(bundle.authData.api_key || '').trim()}`;
    request.headers.Accept = 'application/json';
    request.throwForThrottlingEarly = false; // the server's own sentence says more
    request.skipThrowForStatus = true; // sayWhatWentWrong does it
  }
  return request;
};

const problemOf = (response) => {
  let problem;
  try {
    problem = (response.data || JSON.parse(response.content)).error;
  } catch {
    // Not ours: a reverse proxy's page.
  }
  return problem && typeof problem.message === 'string' ? problem : null;
};

const sayWhatWentWrong = (response, z) => {
  const { status } = response;
  if (status < 400 || (response.request.allow404 && status === 404)) return response;
  const problem = problemOf(response);
  const sentence = (problem ? problem.message : `The server answered ${status}: try again later.`).slice(0, LONGEST);
  if (status === 401) throw new z.errors.ExpiredAuthError(`${sentence} Then reconnect.`.slice(0, LONGEST));
  if (status === 429 || status === 503) {
    const seconds = Number.parseInt(response.getHeader('retry-after'), 10);
    throw new z.errors.ThrottledError(sentence, Number.isInteger(seconds) && seconds > 0 ? seconds : WAIT);
  }
  throw new z.errors.Error(sentence, problem ? problem.code : 'http_error', status);
};

module.exports = { addServerAndKey, sayWhatWentWrong };
