/**
 * NodeCommand: what Core tells a node to do.
 *
 *   {"node_id":u64,"command":{NAME:BODY}}      for connections that spell unit values as bare strings also  "command":"Restart"
 *
 * The id is the one the node has now, with its digits. The text is a whole frame with its newline.
 */
export function nodeCommand(nodeId: string, commandJson: string): string {
  return `{"version":2,"message":{"NodeCommand":{"node_id":${nodeId},"command":${commandJson}}}}\n`;
}
