'use strict';

// What the triggers for events have in common: REST hooks, and the list of past events that stands in for a hook
// while a Zap is set up. Both bring the same fields.

const SAMPLE = {
  id: 'evt_01m8abp1z2jvx4s2d7hjmha0j0',
  event: 'bounced',
  occurred_at: '2026-01-31T09:00:00.000+00:00',
  message_id: 'msg_01m8abp1z2jvx4s2d7hjmha0j0',
  domain: 'example.com',
  from_email: 'shop@example.com',
  recipient: 'ann@example.org',
  subject: 'Your order',
  tag: 'orders',
  bounce_type: 'hard',
  smtp_code: 550,
  reason: '5.1.1 No such mailbox',
  metadata_json: '{"order":"7"}',
  credential_type: null,
  credential_name: null,
  credential_note: null,
  ip: null,
};

const LABELS = {
  id: 'Event ID',
  event: 'Event',
  occurred_at: 'Occurred At',
  message_id: 'Message ID',
  domain: 'Domain',
  from_email: 'From',
  recipient: 'Recipient',
  subject: 'Subject',
  tag: 'Tag',
  bounce_type: 'Bounce Type',
  smtp_code: 'SMTP Code',
  reason: 'Reason',
  metadata_json: 'Metadata (JSON)',
  credential_type: 'Credential Type',
  credential_name: 'Credential Name',
  credential_note: 'Credential Note',
  ip: 'IP Address',
};

const typeOf = (key) => (key === 'occurred_at' ? 'datetime' : key === 'smtp_code' ? 'integer' : 'string');

const outputFields = Object.entries(LABELS).map(([key, label]) => ({ key, label, type: typeOf(key) }));

const MOST_LISTED = 3;

// eventsOf: from a bundle to the names of the events that the Zap wants.
const hookOperation = (eventsOf, sample) => ({
  type: 'hook',
  performSubscribe: async (z, bundle) => {
    const body = { target_url: bundle.targetUrl, events: eventsOf(bundle) };
    const response = await z.request({ method: 'POST', url: '/v1/hooks', body });
    return response.data;
  },
  performUnsubscribe: async (z, bundle) => {
    const id = encodeURIComponent(bundle.subscribeData.id);
    await z.request({ method: 'DELETE', url: `/v1/hooks/${id}`, allow404: true });
    return {};
  },
  perform: async (z, bundle) => [bundle.cleanedRequest],
  performList: async (z, bundle) => {
    const asked = eventsOf(bundle).map((event) =>
      z.request({ url: '/v1/events', params: { event, limit: MOST_LISTED } }),
    );
    const found = (await Promise.all(asked)).flatMap((response) => response.data);
    return found.sort((one, other) => (one.occurred_at < other.occurred_at ? 1 : -1));
  },
  sample,
  outputFields,
});

module.exports = { SAMPLE, hookOperation };
