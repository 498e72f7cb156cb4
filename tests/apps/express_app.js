// An Express app that leaves its sessions to cloakroom. Prints its port: node tests/apps/express_app.js
const express = require('express');
const app = express();

const field = (request, name) => decodeURIComponent(request.get('X-Session-' + name) ?? '');

app.get('/visit', (request, response) => {
  const visits = Number(field(request, 'Visits')) + 1;
  response.set('X-Session-Set-Visits', String(visits)).send(`visits=${visits}`);
});
app.get('/login', (request, response) => {
  response.set('X-Session-Principal', encodeURIComponent(request.query.name ?? '')).send('logged in');
});
app.get('/logout', (request, response) => response.set('X-Session-Principal', '').send('logged out'));
app.get('/store', (request, response) => {
  response.set('X-Session-Set-Note', encodeURIComponent('Zoë 100% + "quoted"; ü')).send('stored');
});
app.get('/read', (request, response) => response.send(field(request, 'Note')));
app.get('/who', (request, response) => response.send(field(request, 'Principal')));

const server = app.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => console.log(server.address().port));
