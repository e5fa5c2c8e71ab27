'use strict';

// Fills the drop-down of messages.
const perform = async (z) => {
  const { data } = await z.request({ url: '/v1/messages', params: { limit: 50 } });
  return data.data.map(({ id, subject, recipients }) => ({
    id,
    title: `${subject || 'No subject'} (${recipients.map((one) => one.email).join(', ')})`.slice(0, 100),
  }));
};

module.exports = {
  key: 'message',
  noun: 'Message',
  display: {
    label: 'List Messages',
    description: 'Triggers when a drop-down lists the newest messages.',
    hidden: true,
  },
  operation: {
    perform,
    sample: { id: 'msg_01m8abp1z2jvx4s2d7hjmha0j0', title: 'Your order (ann@example.org)' },
    outputFields: [
      { key: 'id', label: 'Message ID', type: 'string' },
      { key: 'title', label: 'Title', type: 'string' },
    ],
  },
};
