'use strict';

const { EXAMPLE, normalise } = require('./lib/server');

const test = async (z, bundle) => {
  const response = await z.request({ url: '/v1/me' });
  if (!response.data || !response.data.domain) {
    const address = normalise(z, bundle.authData.base_url);
    throw new z.errors.Error(`There is no Postlatch at ${address}: check the server address.`, 'not_postlatch', 404);
  }
  return response.data;
};

module.exports = {
  type: 'custom',
  fields: [
    {
      key: 'base_url',
      label: 'Server Address',
      type: 'string',
      required: true,
      default: EXAMPLE,
      helpText: `The address at which you open the Postlatch panel, for example \`${EXAMPLE}\`.`,
    },
    {
      key: 'api_key',
      label: 'API Key',
      type: 'password',
      required: true,
      helpText:
        `Make a key on the [Credentials page](${EXAMPLE}/admin/) of your server: it starts with \`pl_\`. ` +
        'Give it no allowed addresses, since Zapier calls from changing ones.',
    },
  ],
  test,
  connectionLabel: '{{domain}} ({{name}})',
};
