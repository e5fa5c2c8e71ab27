// Sends one message with nodemailer. The arguments are one JSON object; what goes wrong ends the process with 1.
import nodemailer from "nodemailer";

const { host, port, secure, user, pass, from, to, subject, ca } = JSON.parse(process.argv[2]);
const transport = nodemailer.createTransport({
  host,
  port,
  secure,
  requireTLS: !secure,
  auth: { user, pass },
  tls: { ca, servername: "localhost" },
});
const sent = await transport.sendMail({
  from,
  to,
  subject,
  text: "Grüße, sent by nodemailer.",
  attachments: [{ filename: "note.txt", content: "A small note." }],
});
console.log(sent.response);
