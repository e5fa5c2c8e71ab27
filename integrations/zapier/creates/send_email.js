'use strict';

const WINDOW = 15 * 60 * 1000; // milliseconds
const ADDRESSES = ['to', 'cc', 'bcc', 'reply_to'];
const TEXTS = ['subject', 'text', 'html', 'tag', 'send_at'];

const senderOf = ({ from, from_name: name, domain }) => {
  const address = String(from || '').trim();
  const email = address.includes('@') || !domain ? address : `${address}@${domain}`;
  return name ? { email, name } : email;
};

// A step that Zapier repeats, because the answer to it was lost, must not send again. The step's own run has no name
// here, so the same e-mail from the same Zap within a quarter of an hour is taken for a repeat, unless the user says
// what to tell them apart by.
const keyOf = (z, { inputData, meta }) => {
  const zap = (meta && meta.zap && meta.zap.id) || '';
  if (inputData.idempotency_key) return z.hash('sha256', JSON.stringify([zap, inputData.idempotency_key]));
  if (meta && meta.isLoadingSample) return undefined; // somebody is trying it out, and wants each to arrive
  return z.hash('sha256', JSON.stringify([zap, inputData, Math.floor(Date.now() / WINDOW)]));
};

const perform = async (z, bundle) => {
  const { inputData } = bundle;
  const body = { from: senderOf(inputData), attachments: inputData.attachments, metadata: inputData.metadata };
  for (const name of TEXTS) body[name] = inputData[name];
  // A line may hold several addresses, which the server splits in a text, but not in a list.
  for (const name of ADDRESSES) body[name] = [].concat(inputData[name] || []).join('\n');
  const key = keyOf(z, bundle);
  const headers = key ? { 'Idempotency-Key': key } : {};
  return (await z.request({ method: 'POST', url: '/v1/send', headers, body })).data;
};

const address = (key, label, helpText, more = {}) => ({ key, label, type: 'string', helpText, ...more });

module.exports = {
  key: 'send_email',
  noun: 'Email',
  display: {
    label: 'Send Email',
    description: 'Sends an email through your own mail server.',
  },
  operation: {
    perform,
    inputFields: [
      address('from', 'From', 'An address at your sending domain, or only the part before the @ with the domain below.', {
        required: true,
        placeholder: 'shop@example.com',
      }),
      { key: 'from_name', label: 'From Name', type: 'string', placeholder: 'Our Shop' },
      {
        key: 'domain',
        label: 'Sending Domain',
        type: 'string',
        dynamic: 'domain.name.name',
        helpText: 'Needed only when From has no @.',
      },
      address('to', 'To', 'One address a line, or several with commas between.', { required: true, list: true }),
      address('cc', 'Cc', 'As in To.', { list: true }),
      address('bcc', 'Bcc', 'As in To; nobody else sees them.', { list: true }),
      address('reply_to', 'Reply To', 'Where answers go, if not to From.', { list: true }),
      { key: 'subject', label: 'Subject', type: 'string', required: true },
      { key: 'text', label: 'Plain Text', type: 'text', helpText: 'When empty, it is made from the HTML.' },
      { key: 'html', label: 'HTML', type: 'text', helpText: 'Leave it empty to send plain text alone.' },
      {
        key: 'attachments',
        label: 'Attachments',
        type: 'file',
        list: true,
        helpText: 'Files of earlier steps, or `https` links to files. The server fetches them right after this step.',
      },
      {
        key: 'send_at',
        label: 'Send At',
        type: 'datetime',
        helpText: 'Leave it empty to send at once; at most 30 days ahead.',
      },
      { key: 'tag', label: 'Tag', type: 'string', helpText: 'A word of yours that events give back.' },
      { key: 'metadata', label: 'Metadata', dict: true, helpText: 'Values of yours that events give back.' },
      {
        key: 'idempotency_key',
        label: 'Send Only Once For',
        type: 'string',
        helpText:
          'Map something that each item has for itself, such as an order number: the same is sent once a day. When ' +
          'empty, the very same email within 15 minutes is taken for a repeat.',
      },
    ],
    sample: {
      id: 'msg_01m8abp1z2jvx4s2d7hjmha0j0',
      status: 'queued',
      domain: 'example.com',
      from_email: 'shop@example.com',
      to: ['ann@example.org'],
      to_count: 1,
      created_at: '2026-01-31T09:00:00.000+00:00',
    },
    outputFields: [
      { key: 'id', label: 'Message ID', type: 'string' },
      { key: 'status', label: 'Status', type: 'string' },
      { key: 'domain', label: 'Domain', type: 'string' },
      { key: 'from_email', label: 'From', type: 'string' },
      { key: 'to', label: 'To', type: 'string', list: true },
      { key: 'to_count', label: 'Number of Recipients', type: 'integer' },
      { key: 'created_at', label: 'Created At', type: 'datetime' },
    ],
  },
};
