// A server of plain Node that reads its target as its documentation shows it. Prints its port:
// node tests/apps/admin_url.js
const http = require('http');

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, `http://${request.headers.host}`);
  response.end(pathname === '/admin' || pathname.startsWith('/admin/') ? 'secret' : 'open');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
