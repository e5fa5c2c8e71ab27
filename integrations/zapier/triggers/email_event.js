'use strict';

const { SAMPLE, hookOperation } = require('../lib/hook');

const CHOICES = [
  { value: 'accepted', sample: 'accepted', label: 'Accepted: taken in' },
  { value: 'delivered', sample: 'delivered', label: 'Delivered: taken by the recipient’s server' },
  { value: 'deferred', sample: 'deferred', label: 'Deferred: to be tried again' },
  { value: 'bounced', sample: 'bounced', label: 'Bounced: refused by the recipient’s server' },
  { value: 'failed', sample: 'failed', label: 'Failed: given up' },
];
const USUAL = ['delivered', 'bounced', 'failed'];

const eventsOf = ({ inputData }) => {
  const wanted = [].concat(inputData.events || []).filter(Boolean);
  return wanted.length ? wanted : USUAL;
};

module.exports = {
  key: 'email_event',
  noun: 'Event',
  display: {
    label: 'Email Event',
    description: 'Triggers when an email is accepted, delivered, deferred, bounced or given up.',
  },
  operation: {
    ...hookOperation(eventsOf, SAMPLE),
    inputFields: [
      {
        key: 'events',
        label: 'Events',
        type: 'string',
        list: true,
        required: true,
        choices: CHOICES,
        helpText: 'Add a line for each kind of event that this Zap is about.',
      },
    ],
  },
};
