// The client of `partita lsp`: starts it, and shows the uses that a lens counts. All knowledge of the
// language is in the server.
"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const command = vscode.workspace.getConfiguration("partita").get("path") || "partita";
  client = new LanguageClient(
    "partita",
    "Partita",
    { command, args: ["lsp"] },
    {
      documentSelector: [
        { scheme: "file", language: "partita" },
        { scheme: "file", language: "kdl" },
      ],
    },
  );
  await client.start();
}

async function stop() {
  const running = client;
  client = undefined;
  if (running) await running.stop();
}

async function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("partita.restart", async () => {
      await stop();
      await start();
    }),
    // The server sends plain objects; the editor's own command wants its own classes.
    vscode.commands.registerCommand("partita.showReferences", (uri, position, places) => {
      const at = (place) => new vscode.Position(place.line, place.character);
      const range = (place) => new vscode.Range(at(place.start), at(place.end));
      const locations = places.map((place) => new vscode.Location(vscode.Uri.parse(place.uri), range(place.range)));
      return vscode.commands.executeCommand("editor.action.showReferences", vscode.Uri.parse(uri), at(position), locations);
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
