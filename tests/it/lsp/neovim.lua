-- A person in Neovim: sees a mistake, asks about a word, mends the mistake, formats. Prints what it
-- got; ends with status 1 where something does not come. The variables PARTITA, ROOT and SPEC name
-- the program, the workspace and the file.
vim.cmd([[autocmd BufRead,BufNewFile *.kdl setfiletype kdl]])

local function out(text)
  io.stdout:write(text .. "\n")
end

local function wait_for(what, check)
  if not vim.wait(20000, check, 20) then
    out("did not come: " .. what)
    vim.cmd("cquit 1")
  end
end

local function first_line(text)
  return (text:gsub("\n.*", ""))
end

vim.cmd("edit " .. vim.env.SPEC)
-- Older editors have `start_client` alone, newer ones want `start`.
if vim.lsp.start then
  vim.lsp.start({ name = "partita", cmd = { vim.env.PARTITA, "lsp" }, root_dir = vim.env.ROOT })
else
  local id = vim.lsp.start_client({ name = "partita", cmd = { vim.env.PARTITA, "lsp" }, root_dir = vim.env.ROOT })
  vim.lsp.buf_attach_client(0, id)
end

wait_for("a mistake", function()
  return #vim.diagnostic.get(0) > 0
end)
for _, found in ipairs(vim.diagnostic.get(0)) do
  out(("mistake %d:%d %s %s"):format(found.lnum + 1, found.col + 1, found.code or "", first_line(found.message)))
end

local place = {
  textDocument = vim.lsp.util.make_text_document_params(),
  position = { line = 1, character = 8 },
}
for _, answer in pairs(vim.lsp.buf_request_sync(0, "textDocument/hover", place, 20000) or {}) do
  out("hover " .. answer.result.contents.value:gsub("\n", " "))
end

vim.api.nvim_buf_set_text(0, 3, 8, 3, 13, { "write" })
wait_for("no mistake", function()
  return #vim.diagnostic.get(0) == 0
end)
out("mended")

if vim.lsp.buf.format then
  vim.lsp.buf.format({ timeout_ms = 20000 })
else
  vim.lsp.buf.formatting_sync(nil, 20000)
end
vim.cmd("write")
vim.cmd("qall!")
