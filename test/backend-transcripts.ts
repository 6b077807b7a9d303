/**
 * The backend conversation, to the byte: what is sent, what must be answered. The nodes are those of TRANSCRIPT_NODES.
 * Written from the protocol document; `BACKEND_ID` stands for the random id.
 */
import type { NodeIdentity } from './node-frames.js';

export const LARGEST = 18446744073709551615n;
export const ODD = 9007199254740993n; // 2^53 + 1: a JavaScript number would make it even

export const TRANSCRIPT_NODES: readonly NodeIdentity[] = [
  { id: LARGEST, name: 'largest "ń"' },
  { id: ODD, name: 'odd' },
];

const ok = (message: string, data = 'null') =>
  `{"version":2,"message":{"BackendResponse":{"Success":{"message":"${message}","data":${data}}}}}`;
const no = (text: string) => `{"version":2,"message":{"BackendResponse":{"Failure":"${text}"}}}`;
const command = (text: string) => `{"version":2,"message":{"BackendCommand":${text}}}`;

export const REGISTRATION =
  '{"version":2,"message":{"BackendRegistration":{"backend_name":"Honeybee CLI Client","backend_type":"Cli"}}}';
export const REGISTERED = ok('Registration successful', '{"backend_id":BACKEND_ID}');
export const GET_NODES = command('"GetNodes"');
export const NODES_ANSWER = ok('Retrieved 2 nodes', `{"nodes":[${ODD},${LARGEST}]}`);

export interface Exchange {
  readonly say: string;
  readonly answer: string;
}

/** Before a registration. */
export const UNREGISTERED: readonly Exchange[] = [
  { say: GET_NODES, answer: no('NOT_REGISTERED: send BackendRegistration first') },
  { say: 'rubbish', answer: no('MESSAGE_PARSE_FAILED: the message is not JSON text') },
];

/** In this order on one connection; the first one registers. */
export const CONVERSATION: readonly Exchange[] = [
  { say: REGISTRATION, answer: REGISTERED },
  { say: REGISTRATION, answer: no('Unexpected message type after registration') },
  { say: GET_NODES, answer: NODES_ANSWER },
  { say: command('{"GetNodes":{}}'), answer: NODES_ANSWER },
  { say: command('{"GetNodes":null}'), answer: NODES_ANSWER },
  {
    say: ' { "message" : { "BackendCommand" : { "GetNodes" : { } } } , "extra" : [1,{"a":"}"}] , "version" : 2.0 } ',
    answer: NODES_ANSWER,
  },
  { say: command('"GetNodeCount"'), answer: ok('Total nodes: 2', '{"count":2}') },
  { say: command('{"GetNodeCount":null}'), answer: ok('Total nodes: 2', '{"count":2}') },
  { say: command('"GetActiveConnections"'), answer: ok('Active connections: 2', '{"count":2}') },
  {
    say: command(`{"GetNode":{"node_id":${LARGEST}}}`),
    answer: ok(
      `Node ${LARGEST} retrieved`,
      `{"id":${LARGEST},"name":"largest \\"ń\\"","status":"Connected"}`,
    ),
  },
  {
    say: command(`{"GetNode":{"more":1,"node_id":"${ODD}"}}`),
    answer: ok(`Node ${ODD} retrieved`, `{"id":${ODD},"name":"odd","status":"Connected"}`),
  },
  { say: command(`{"GetNode":{"node_id":${ODD - 1n}}}`), answer: no(`Node ${ODD - 1n} not found`) },
  {
    say: command('{"GetNodesByStatus":{"status":"Connected"}}'),
    answer: ok('Retrieved 2 nodes with status Connected', `{"nodes":[${ODD},${LARGEST}]}`),
  },
  {
    say: command('{"GetNodesByStatus":{"status":"Failed"}}'),
    answer: ok('Retrieved 0 nodes with status Failed', '{"nodes":[]}'),
  },
  { say: command('{"RemoveNode":{"node_id":7}}'), answer: no('Node 7 not found') },
  {
    say: command('{"NodeCommand":{"node_id":7,"command":{"Restart":{}}}}'),
    answer: no('Failed to send command to node 7: Node 7 not found'),
  },

  // ---- what is wrong is answered, and the conversation goes on
  {
    say: '[]',
    answer: no('INVALID_MESSAGE_FORMAT: the message is not an object, or a name stands twice in it'),
  },
  {
    say: '{"version":2,"version":2,"message":"BackendDrop"}',
    answer: no('INVALID_MESSAGE_FORMAT: the message is not an object, or a name stands twice in it'),
  },
  { say: '{"message":"BackendDrop"}', answer: no('INVALID_MESSAGE_FORMAT: version is missing') },
  {
    say: '{"version":1,"message":"BackendDrop"}',
    answer: no('PROTOCOL_VERSION_MISMATCH: the version is another one than 2'),
  },
  {
    say: '{"version":"2","message":"BackendDrop"}',
    answer: no('PROTOCOL_VERSION_MISMATCH: the version is another one than 2'),
  },
  {
    say: '{"version":2,"message":{}}',
    answer: no('INVALID_MESSAGE_FORMAT: message does not hold exactly one name'),
  },
  {
    say: '{"version":2,"message":"GetNodes"}',
    answer: no(
      'INVALID_MESSAGE_FORMAT: message is none of BackendRegistration, BackendCommand, BackendDrop and Authenticate',
    ),
  },
  {
    say: command('"Reboot"'),
    answer: no('INVALID_COMMAND: BackendCommand holds a name that Core does not know'),
  },
  { say: command('{}'), answer: no('INVALID_COMMAND: BackendCommand does not hold exactly one name') },
  { say: command('{"GetNodes":5}'), answer: no('INVALID_COMMAND: GetNodes has no fields') },
  { say: command('{"GetNode":{}}'), answer: no('INVALID_COMMAND: GetNode.node_id is missing') },
  ...['0', '-1', '1.0', '1e3', '18446744073709551616', 'null', '"01"'].map((id) => ({
    say: command(`{"GetNode":{"node_id":${id}}}`),
    answer: no('INVALID_NODE_ID: GetNode.node_id is not an integer from 1 to 18446744073709551615'),
  })),
  {
    say: command('{"GetNodesByStatus":{"status":"Sleeping"}}'),
    answer: no(
      'INVALID_COMMAND: GetNodesByStatus.status is none of Connected, Deploying, Running, Stopped, Failed, Unknown',
    ),
  },
  {
    say: command('{"NodeCommand":{"node_id":1}}'),
    answer: no('INVALID_COMMAND: NodeCommand.command is missing'),
  },
  {
    say: command('{"BroadcastCommand":{}}'),
    answer: no('INVALID_COMMAND: BroadcastCommand.command is missing'),
  },
  {
    say: '{"version":2,"message":{"BackendRegistration":{"backend_type":"Web"}}}',
    answer: no('INVALID_MESSAGE_FORMAT: BackendRegistration.backend_name is not a string'),
  },
  {
    say: '{"version":2,"message":{"BackendRegistration":{"backend_name":"x","backend_type":"Toaster"}}}',
    answer: no(
      'INVALID_MESSAGE_FORMAT: BackendRegistration.backend_type is none of Web, Api, Monitoring, Cli and {\\"Custom\\":\\"...\\"}',
    ),
  },
  {
    say: '{"version":2,"message":{"BackendDrop":7}}',
    answer: no('INVALID_MESSAGE_FORMAT: BackendDrop has no fields'),
  },
  {
    say: '{"version":2,"message":{"Authenticate":{"token":7}}}',
    answer: no('INVALID_MESSAGE_FORMAT: Authenticate.token is not a string'),
  },
  { say: command('"SubscribeEvents"'), answer: ok('Events subscribed') },
  { say: command('{"UnsubscribeEvents":{}}'), answer: ok('Events unsubscribed') },
  { say: command('"GetNodeCount"'), answer: ok('Total nodes: 2', '{"count":2}') },
];

/** Every spelling of the goodbye; it ends the connection. */
export const GOODBYES = [
  '{"version":2,"message":"BackendDrop"}',
  '{"version":2,"message":{"BackendDrop":{}}}',
  '{"version":2,"message":{"BackendDrop":null}}',
];
export const GOODBYE_ANSWER = ok('Disconnect acknowledged');

/** Every backend type, and fields that older clients send along. */
export const REGISTRATIONS = [
  ...['"Web"', '"Api"', '"Monitoring"', '"Cli"', '{"Custom":"my own"}'].map(
    (type) => `{"version":2,"message":{"BackendRegistration":{"backend_name":"b","backend_type":${type}}}}`,
  ),
  '{"version":2,"message":{"BackendRegistration":{"backend_id":1,"backend_name":"Honeybee CLI Client","address":"<address>","port":0,"backend_type":"Cli"}}}',
];

/** The answer with its random id replaced; throws where the id is not one. */
export function withoutId(answer: string): string {
  return answer.replace(/"backend_id":([1-9]\d{0,19})\}/, (_all, digits: string) => {
    if (BigInt(digits) > LARGEST) throw new Error(`${digits} is no u64`);
    return '"backend_id":BACKEND_ID}';
  });
}
