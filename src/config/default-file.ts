/** The configuration file that Core writes when there is none: every setting with its default and what it is for. */
import type { Setting } from './setting.js';
import { SECTIONS, settingsOf } from './settings.js';
import { allowed, humanBytes, show } from './values.js';

const opening = `# HoneyBee Core.
#
# Every line below shows a default: change what you need and start Core again. Lines that are left out keep their
# default. Stronger than this file is the environment (HONEYBEE_SERVER_NODE_PORT=19001), and stronger than both
# is the command line (--server.node_port 19001).
`;

export function defaultFile(): string {
  const sections = Object.entries(SECTIONS).map(([section, headline]) => {
    const settings = settingsOf(section).map(describe).join('\n');
    return `\n\n# ----- ${headline} -----\n[${section}]\n\n${settings}`;
  });
  return opening + sections.join('');
}

function describe(setting: Setting): string {
  const size =
    setting.kind === 'integer' && setting.unit === 'bytes' ? humanBytes(setting.default) : undefined;
  return [
    `# ${setting.summary}`,
    `# (${allowed(setting)}${example(setting)})`,
    `${setting.key} = ${show(setting.default)}${size ? ` # ${size}` : ''}`,
    '',
  ].join('\n');
}

/** Where what is allowed does not say it already. */
function example(setting: Setting): string {
  return setting.kind === 'integer' || setting.kind === 'string'
    ? `; for example ${show(setting.example)}`
    : '';
}
