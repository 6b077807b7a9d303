/** Administration for tests of other things: whoever asks is local, no token can be made, nothing is kept. */
import type { AuditEntry } from '../src/access/audit.js';
import { LOCAL } from '../src/access/principals.js';
import type { Administration } from '../src/rest/server.js';

const nobody = () => Promise.reject(new Error('nobody is enrolled here'));

export function openAdministration(audit: AuditEntry[] = []): Administration {
  return {
    access: {
      check: () => ({ principal: LOCAL }),
      onChange: () => () => {},
      tokens: () => [],
      token: () => undefined,
      stateOf: () => 'active',
      createToken: () => Promise.reject(new Error('no tokens are made here')),
      revokeToken: () => Promise.reject(new Error('no tokens are made here')),
    },
    audit: { record: (entry) => void audit.push(entry) },
    auditShelf: { page: async () => ({ lines: [], next: null }) },
    enrolmentDesk: {
      mode: 'optional',
      list: () => [],
      enrol: nobody,
      rotate: nobody,
      revoke: nobody,
      forget: nobody,
      windowOpenUntilMs: () => null,
      openWindow: nobody,
      closeWindow: nobody,
    },
  };
}
