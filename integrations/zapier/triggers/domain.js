'use strict';

// Fills the drop-down of sending domains.
const perform = async (z) => (await z.request({ url: '/v1/domains' })).data.data;

module.exports = {
  key: 'domain',
  noun: 'Domain',
  display: {
    label: 'List Domains',
    description: 'Triggers when a drop-down lists the sending domains.',
    hidden: true,
  },
  operation: {
    perform,
    sample: { id: 1, name: 'example.com' },
    outputFields: [
      { key: 'id', label: 'ID', type: 'integer' },
      { key: 'name', label: 'Name', type: 'string' },
    ],
  },
};
