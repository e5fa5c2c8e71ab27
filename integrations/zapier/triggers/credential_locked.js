'use strict';

const { SAMPLE, hookOperation } = require('../lib/hook');

const nothing = Object.fromEntries(Object.keys(SAMPLE).map((key) => [key, null]));

module.exports = {
  key: 'credential_locked',
  noun: 'Lock',
  display: {
    label: 'Credential Locked Out',
    description: 'Triggers when an SMTP user of your domain is locked out after too many wrong passwords.',
  },
  operation: {
    ...hookOperation(() => ['credential_locked'], {
      ...nothing,
      id: SAMPLE.id,
      event: 'credential_locked',
      occurred_at: SAMPLE.occurred_at,
      domain: SAMPLE.domain,
      reason: '10 wrong passwords within 15 minutes',
      credential_type: 'smtp_user',
      credential_name: 'printer@example.com',
      credential_note: 'Printer, 2nd floor',
      ip: '192.0.2.10',
    }),
  },
};
