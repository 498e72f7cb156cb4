// An Express app with a page that only administrators may see; its router ignores case, as Express does unless told
// otherwise. Prints its port: node tests/apps/admin_express.js
const express = require('express');
const app = express();

app.use('/admin', (request, response) => response.send('secret'));
app.use((request, response) => response.send('open'));

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
