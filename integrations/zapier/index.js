// The Zapier app: what Zapier's platform reads. Everything it does goes through the HTTP API of one Postlatch server.
'use strict';

const { version: platformVersion } = require('zapier-platform-core');
const { version } = require('./package.json');
const authentication = require('./authentication');
const { addServerAndKey, sayWhatWentWrong } = require('./lib/http');
const credentialLocked = require('./triggers/credential_locked');
const domain = require('./triggers/domain');
const emailEvent = require('./triggers/email_event');
const message = require('./triggers/message');
const sendEmail = require('./creates/send_email');
const findMessage = require('./searches/find_message');

const byKey = (...parts) => Object.fromEntries(parts.map((part) => [part.key, part]));

module.exports = {
  version,
  platformVersion,
  authentication,
  beforeRequest: [addServerAndKey],
  afterResponse: [sayWhatWentWrong],
  triggers: byKey(emailEvent, credentialLocked, domain, message),
  creates: byKey(sendEmail),
  searches: byKey(findMessage),
};
