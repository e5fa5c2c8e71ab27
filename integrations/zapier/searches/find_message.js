'use strict';

const perform = async (z, { inputData }) => {
  const { message_id: id, recipient, status } = inputData;
  if (id) {
    const response = await z.request({ url: `/v1/messages/${encodeURIComponent(id)}`, allow404: true });
    return response.status === 404 ? [] : [response.data];
  }
  if (!recipient && !status) {
    throw new z.errors.Error('Give a message, a recipient or a status to look for.', 'nothing_to_find', 400);
  }
  return (await z.request({ url: '/v1/messages', params: { recipient, status, limit: 1 } })).data.data;
};

const STATUSES = [
  'queued',
  'scheduled',
  'delivering',
  'deferred',
  'delivered',
  'bounced',
  'failed',
  'held',
  'cancelled',
  'captured',
];

module.exports = {
  key: 'find_message',
  noun: 'Message',
  display: {
    label: 'Find Message',
    description: 'Finds a message by its ID, or the newest to a recipient.',
  },
  operation: {
    perform,
    inputFields: [
      {
        key: 'message_id',
        label: 'Message ID',
        type: 'string',
        dynamic: 'message.id.title',
        helpText: 'As the step that sent it, or an event, gives it. When it is set, the fields below do not matter.',
      },
      { key: 'recipient', label: 'Recipient', type: 'string', helpText: 'The newest message to this address.' },
      { key: 'status', label: 'Status', type: 'string', choices: STATUSES },
    ],
    sample: {
      id: 'msg_01m8abp1z2jvx4s2d7hjmha0j0',
      status: 'delivered',
      from_email: 'shop@example.com',
      subject: 'Your order',
      tag: 'orders',
      created_at: '2026-01-31T09:00:00.000+00:00',
      recipients: [
        {
          email: 'ann@example.org',
          status: 'delivered',
          smtp_code: 250,
          reason: '2.0.0 OK',
          attempts: 1,
          next_try_at: null,
        },
      ],
    },
    outputFields: [
      { key: 'id', label: 'Message ID', type: 'string' },
      { key: 'status', label: 'Status', type: 'string' },
      { key: 'from_email', label: 'From', type: 'string' },
      { key: 'subject', label: 'Subject', type: 'string' },
      { key: 'tag', label: 'Tag', type: 'string' },
      { key: 'created_at', label: 'Created At', type: 'datetime' },
      { key: 'recipients[]email', label: 'Recipient', type: 'string' },
      { key: 'recipients[]status', label: 'Recipient Status', type: 'string' },
      { key: 'recipients[]smtp_code', label: 'Recipient SMTP Code', type: 'integer' },
      { key: 'recipients[]reason', label: 'Recipient Reason', type: 'string' },
      { key: 'recipients[]attempts', label: 'Recipient Attempts', type: 'integer' },
      { key: 'recipients[]next_try_at', label: 'Recipient Next Try At', type: 'datetime' },
    ],
  },
};
