// An Express app whose sessions roll: each answer sets its cookie anew. Prints its port.
const express = require('express');
const session = require('express-session');
const app = express();

app.use(session({ secret: 'dev-secret-1', resave: false, saveUninitialized: false, rolling: true, cookie: { maxAge: 3600000 } }));
app.get('/login', (request, response) => {
  request.session.regenerate(() => {
    request.session.who = request.query.name;
    response.send('logged in');
  });
});
app.get('/who', (request, response) => response.send(request.session.who ?? 'nobody'));
app.post('/touch', (request, response) => {
  request.session.touched = (request.session.touched ?? 0) + 1;
  response.send(request.session.who ?? 'nobody');
});

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
